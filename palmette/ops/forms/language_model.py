"""What stands around a language model's trunk, natively: the embedding, the norm and the head."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.ops._form import Form
from palmette.ops.forms._residual import foldable, normed_product
from palmette.ops.kernels.native.embedding import embedding
from palmette.ops.lm import LanguageModel


class NativeLanguageModel(LanguageModel, Form):
    """One operator reads the tokens, one gives the logits."""

    name: ClassVar[str] = "language_model"
    stands_for: ClassVar[type[nn.Module]] = LanguageModel

    @classmethod
    def suits(cls, module: nn.Module) -> bool:
        """In fp32."""
        return all(parameter.dtype == torch.float32 for parameter in module.parameters())

    def read(self, ids: Int[Tensor, "b t"], first: int) -> Float[Tensor, "b t d"]:
        """The embeddings of tokens that stand at positions `first` and after."""
        places = None
        if self.positions is not None:
            end = first + ids.shape[1]
            if end > self.positions.num_embeddings:
                return super().read(ids, first)  # which says what is wrong
            places = self.positions.weight[first:end]
        return embedding(self.embedding.weight, places, ids, self.embedding.embedding_dim**0.5)

    def answer(self, x: Float[Tensor, "*bt d"]) -> Float[Tensor, "*bt vocabulary"]:
        """The logits that the trunk's output stands for."""
        if isinstance(self.head, nn.Linear) and foldable(self.norm):
            return normed_product(self.norm, x, self.head)
        return super().answer(x)
