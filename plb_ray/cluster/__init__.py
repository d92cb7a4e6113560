"""Ray: the runtime, the actors that train and serve forecasters, and the control actor. The only door to ray but Serve."""
