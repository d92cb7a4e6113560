"""The control loop: observe, forecast, estimate, plan, check, admit, command; and the ports it is given."""
