from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"

    def ready(self) -> None:
        from audit.trail import protection
        from inference.personal_data import erasure, portability, retention, texts

        retention.register()
        texts.register()
        erasure.register_erasers()
        portability.register_portables()
        served = ["inference_model", "inference_pool", "inference_engine", "inference_replacement"]
        protection.register(read_by_requests=["inference_rollupmark", *served])
