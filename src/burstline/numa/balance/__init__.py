"""The balancer: which worker handles which buckets, queues or flow groups, from what workers were seen to do."""
