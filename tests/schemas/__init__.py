"""Laws of events, their versions, frames and stacks."""
