"""The schemas that all rooms share: events in every version, frames, the log, the store, and facts about Linux."""
