"""Write the CLIP tokenizer folder of the nano model from the vocabulary file inside the PyPI package open_clip_torch.

It is not a tokenizer itself: `transformers.CLIPTokenizer` reads the files written here.
"""

import argparse
import gzip
import json
from importlib.util import find_spec
from pathlib import Path

VOCABULARY_SIZE = 49_408
START, END = "<|startoftext|>", "<|endoftext|>"
CONTEXT_LENGTH = 77


def byte_symbols() -> list[str]:
    """List the 256 printable stand-ins for bytes in CLIP's order: printable Latin-1, then the rest from U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(code) for code in printable] + [chr(0x100 + index) for index in range(256 - len(printable))]


def packaged_vocabulary() -> Path:
    """Find the vocabulary file of an installed open_clip_torch without importing it.

    Raises FileNotFoundError if the package is missing (install it with --no-deps).
    """
    spec = find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("open_clip_torch is not installed: pip install --no-deps open_clip_torch")
    return Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"


def write_tokenizer(vocabulary: Path, out: Path) -> None:
    """Write vocab.json, merges.txt and the two config files that CLIPTokenizer needs to load offline.

    Ids agree with OpenAI's CLIP: byte symbols, the same ending a word, merges, start, end.
    """
    with gzip.open(vocabulary, "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : VOCABULARY_SIZE - 2 * 256 - 2 + 1]
    symbols = byte_symbols()
    entries = [*symbols, *(f"{symbol}</w>" for symbol in symbols)]
    entries += ["".join(merge.split()) for merge in merges] + [START, END]
    ids = {entry: index for index, entry in enumerate(entries)}
    if len(ids) != VOCABULARY_SIZE:
        raise ValueError(f"{vocabulary} gives {len(ids)} entries, expected {VOCABULARY_SIZE}")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": CONTEXT_LENGTH,
        "do_lower_case": True,
        "add_prefix_space": False,
        "errors": "replace",
        **special,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    (out / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Write the tokenizer folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vocabulary", type=Path, help="default: the file inside the installed open_clip_torch")
    arguments = parser.parse_args()
    write_tokenizer(arguments.vocabulary or packaged_vocabulary(), arguments.out)


if __name__ == "__main__":
    main()
