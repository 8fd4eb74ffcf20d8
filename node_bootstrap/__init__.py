"""What happens on an instance between power-on and ready, and the agent that runs it from then on."""
