"""The controller that steers flows by load: a pure policy, what it sees and says, and a simulator to try it in."""
