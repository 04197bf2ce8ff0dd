"""One connection as a state machine: phases of subscriptions, silence, what to do next. Pure."""
