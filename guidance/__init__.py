"""Sea water physics, and the constraints that steer sampling."""
