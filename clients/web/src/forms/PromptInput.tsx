// A text field for prompts: grows with the text; Ctrl+↑ and Ctrl+↓ change the weight of what is selected.

import { Textarea, type TextareaProps } from "@mantine/core";
import { type KeyboardEvent, useRef } from "react";

import { changeAttention } from "./attention";

interface Props extends Omit<TextareaProps, "onChange" | "value"> {
  value: string;
  onChange: (value: string) => void;
}

export function PromptInput({ value, onChange, ...props }: Props) {
  const field = useRef<HTMLTextAreaElement>(null);

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (!(event.ctrlKey || event.metaKey) || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    event.preventDefault();
    const { selectionStart: start, selectionEnd: end } = event.currentTarget;
    const changed = changeAttention({ text: value, start, end }, event.key === "ArrowUp" ? 1 : -1);
    onChange(changed.text);
    requestAnimationFrame(() => field.current?.setSelectionRange(changed.start, changed.end));
  };

  return (
    <Textarea
      {...props}
      ref={field}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      onKeyDown={onKeyDown}
      autosize
      minRows={2}
      maxRows={12}
    />
  );
}
