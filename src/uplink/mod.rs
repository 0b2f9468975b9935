//! Sending what the journal holds to an MQTT broker.
