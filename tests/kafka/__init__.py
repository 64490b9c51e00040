"""Apache Kafka for trying out and for tests: brokers that can be killed, paused and cut off. ``make kafka`` runs it."""
