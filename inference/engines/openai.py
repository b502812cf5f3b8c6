"""Any OpenAI-compatible server by base URL: vLLM, SGLang, the DeepSeek API, a second cluster."""

from inference.engines.base import Engine


class OpenAIEngine(Engine):
    """`url` is what an OpenAI SDK would get as base_url, e.g. http://gpu-1:8000/v1."""
