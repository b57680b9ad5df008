// A search for a job to add to the graph; after a wire was let go, only of those it fits.

import { Modal, Stack, Text, TextInput, UnstyledButton } from "@mantine/core";
import { type KeyboardEvent, useRef, useState } from "react";

import type { Signature } from "../api/types";
import { fits } from "../forms/fits";
import { matching } from "../jobs/Palette";
import type { Side } from "./editing";

interface Props {
  signatures: readonly Signature[];
  /** The type of the port that the wire comes from, and which of its ends is loose. */
  from?: { type: string | undefined; side: Side };
  onAdd: (signature: Signature) => void;
  onClose: () => void;
}

export function AddJob({ signatures, from, onAdd, onClose }: Props) {
  const [text, setText] = useState("");
  const list = useRef<HTMLDivElement>(null);
  const found = matching(
    signatures.filter((signature) => takes(signature, from)),
    text,
  );
  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...(list.current?.querySelectorAll("button") ?? [])];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    buttons[Math.max(0, Math.min(at + step, buttons.length - 1))]?.focus();
  };
  return (
    <Modal
      opened
      onClose={onClose}
      title={from?.type ? `Jobs that ${from.side === "source" ? "take" : "make"} ${from.type}` : "Add a job"}
      onKeyDown={move}
    >
      <TextInput
        data-autofocus
        aria-label="Search jobs to add"
        placeholder="Search"
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Enter" && found[0] && onAdd(found[0])}
        mb="xs"
      />
      <Stack ref={list} gap={2} h={360} style={{ overflowY: "auto" }}>
        {found.map((signature) => (
          <UnstyledButton
            key={signature.name}
            className="list-row"
            px="sm"
            py={6}
            onClick={() => onAdd(signature)}
          >
            <Text size="sm" fw={500}>
              {signature.name}
            </Text>
            <Text size="xs" c="dimmed" truncate>
              {signature.title}
            </Text>
          </UnstyledButton>
        ))}
        {!found.length && (
          <Text size="sm" c="dimmed" p="sm">
            Nothing is called like that.
          </Text>
        )}
      </Stack>
    </Modal>
  );
}

function takes({ inputs, outputs }: Signature, from: Props["from"]): boolean {
  if (!from) return true;
  return from.side === "source"
    ? inputs.some((port) => fits(from.type, port.type))
    : outputs.some((port) => fits(port.type, from.type));
}
