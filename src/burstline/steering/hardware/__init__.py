"""Steering by a NIC: rules as patterns of rte_flow, by what each driver can do."""
