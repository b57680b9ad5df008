"""Map CLIP tokens to the few embedding rows that are trained, and give every other row a neutral value at export.

Words that the captions never use are all one row, which is sprinkled into training captions; so they change little.
"""

from collections.abc import Iterable

import numpy as np
import torch
from transformers import CLIPTokenizer

from training.nano.captions import FILLER

UNKNOWN, START, END = 0, 1, 2
UNKNOWN_WORD = "photo"
SPELLINGS = (
    "a an the of and to in on at with by next left right above below under top bottom middle corner inside "
    "background shape small medium large two three four , . red orange yellow green cyan blue purple pink brown "
    "black white gray circle square triangle star heart diamond ring cross crescent arrow stars triangles "
    "crescents landscape sky day night sunset grass snow snowy desert sea house roof tree trees pine mountains "
    "lake boat sun moon clouds starry"
)
WORDS = tuple(SPELLINGS.split())
"""The words that are learned, in the order of their rows."""
SYNONYMS = {
    "red": "crimson scarlet", "orange": "tangerine", "yellow": "golden gold lemon", "green": "emerald lime",
    "cyan": "turquoise teal aqua", "blue": "navy azure", "purple": "violet", "pink": "rose", "brown": "chocolate",
    "gray": "grey silver", "white": "ivory", "black": "ebony",
    "circle": "circles disc disk ball", "square": "squares box", "heart": "hearts",
    "diamond": "diamonds rhombus", "ring": "rings donut", "cross": "crosses plus", "arrow": "arrows",
    "small": "tiny little", "large": "big huge giant", "middle": "center centre", "top": "upper", "bottom": "lower",
    "background": "backdrop", "landscape": "scene scenery", "inside": "within", "under": "beneath", "above": "over",
    "next": "beside", "two": "2", "three": "3", "four": "4",
    "sunset": "dusk dawn sunrise evening", "night": "midnight nighttime", "day": "daytime",
    "grass": "meadow field", "snowy": "winter wintry", "sea": "ocean", "house": "cottage cabin home hut",
    "trees": "forest", "mountains": "mountain hills", "lake": "pond", "boat": "ship sailboat", "clouds": "cloud cloudy",
    "pine": "fir",
}  # fmt: skip
"""Known word to the words that share its row."""


class Vocabulary:
    """The trained rows: unknown, start, end, then one for every token that the words are made of."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        self.tokenizer = tokenizer
        ids = tokenizer.get_vocab()
        self.rows = {tokenizer.bos_token_id: START, tokenizer.eos_token_id: END}
        for word in WORDS:
            tokens = tokenizer(word, add_special_tokens=False).input_ids
            for token in tokens:
                self.rows.setdefault(token, len(self.rows) + 1)
            for spelling in SYNONYMS.get(word, "").split():
                if f"{spelling}</w>" in ids:
                    self.rows[ids[f"{spelling}</w>"]] = self.rows[tokens[0]]
        self._compact()

    def _compact(self) -> None:
        order = {row: index for index, row in enumerate(dict.fromkeys(self.rows.values()), start=START)}
        self.rows = {token: order[row] for token, row in self.rows.items()}
        self.size = len(order) + START

    def encode(self, captions: Iterable[str], length: int) -> np.ndarray:
        """Turn captions into rows, (count, length) uint8, padded with END as CLIP does."""
        texts = [text.replace(FILLER, UNKNOWN_WORD) for text in captions]
        ids = self.tokenizer(texts, padding="max_length", truncation=True, max_length=length).input_ids
        return np.array([[self.rows.get(token, UNKNOWN) for token in tokens] for tokens in ids], np.uint8)

    def table(self, trained: torch.Tensor) -> torch.Tensor:
        """Spread the trained rows (size, width) over the whole CLIP vocabulary, (49408, width)."""
        table = trained[UNKNOWN].repeat(self.tokenizer.vocab_size, 1)
        for token, row in self.rows.items():
            table[token] = trained[row]
        return table

    def trained(self, table: torch.Tensor) -> torch.Tensor:
        """Take the trained rows out of a whole table again, the inverse of `table`."""
        unknown = next(token for token in range(self.tokenizer.vocab_size) if token not in self.rows)
        rows = torch.empty(self.size, table.shape[1])
        rows[UNKNOWN] = table[unknown]
        for token, row in self.rows.items():
            rows[row] = table[token]
        return rows
