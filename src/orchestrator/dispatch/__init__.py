"""The agents' side of the queues: how an attempt gets there, who takes it next, who looks after it meanwhile."""
