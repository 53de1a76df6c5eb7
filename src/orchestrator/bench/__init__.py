"""A bounded load on a running deployment, by the routes that every frontend uses."""
