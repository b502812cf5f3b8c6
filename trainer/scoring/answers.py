"""What a model answers: the likelihood of each choice, or the words that it goes on with."""

from dataclasses import dataclass
from typing import Any

import torch

from trainer.scoring.next_tokens import next_logits
from trainer.scoring.tasks import Item

MOST_NEW_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Reader:
    """A model with its tokenizer, and how many tokens it sees at once."""

    model: Any
    tokenizer: Any
    length: int
    device: str = "cpu"
    bf16: bool = False

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    def likelihoods(self, item: Item) -> list[float]:
        """Returns the logarithm of each choice's probability after the prompt."""
        endings = [self.ids(_after(item.text, choice)) for choice in item.choices]
        longest = max(map(len, endings))
        prompt = self.ids(item.text)[-max(1, self.length - longest) :]
        if longest == 1:
            return self._of_next_token(prompt, [ending[0] for ending in endings])
        rows = [prompt + each + [0] * (longest - len(each)) for each in endings]
        logits = next_logits(self.model, torch.tensor(rows, device=self.device), bf16=self.bf16)
        spoken = logits[:, len(prompt) - 1 : -1].float().log_softmax(-1)
        return [
            sum(spoken[row, at, token].item() for at, token in enumerate(ending))
            for row, ending in enumerate(endings)
        ]

    def _of_next_token(self, prompt: list[int], tokens: list[int]) -> list[float]:
        """Reads the prompt once for choices of one token each."""
        ids = torch.tensor([prompt], device=self.device)
        spoken = next_logits(self.model, ids, bf16=self.bf16)[0, -1].float().log_softmax(-1)
        return [spoken[token].item() for token in tokens]

    def continuation(self, prompt: str) -> str:
        """Returns the likeliest words after the prompt, up to the end of the line."""
        ids = torch.tensor([self.ids(prompt)[-self.length :]], device=self.device)
        with torch.no_grad():
            answer = self.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False,
                max_new_tokens=MOST_NEW_TOKENS, pad_token_id=self.tokenizer.eos_token_id or 0,
            )  # fmt: skip
        text = self.tokenizer.decode(answer[0, ids.shape[1] :], skip_special_tokens=True)
        return str(text).strip().split("\n", 1)[0].strip()


def probabilities(likelihoods: list[float]) -> list[float]:
    """Returns each choice's share of the probability of all choices."""
    return list(torch.tensor(likelihoods, dtype=torch.float64).softmax(0).tolist())


def _after(prompt: str, choice: str) -> str:
    return choice if prompt[-1:].isspace() else f" {choice}"
