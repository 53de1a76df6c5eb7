"""The service and its peers under one load: what `make bench` measures, and the page it writes."""
