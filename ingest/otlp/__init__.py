"""OpenTelemetry traces over HTTP (OTLP/HTTP), in protobuf and in JSON."""
