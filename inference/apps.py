from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"

    def ready(self) -> None:
        from inference import erasure, portability, retention, texts

        retention.register()
        texts.register()
        erasure.register_erasers()
        portability.register_portables()
