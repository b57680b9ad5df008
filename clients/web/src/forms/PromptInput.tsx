// A text field for prompts: grows with the text, tells its length; Ctrl+↑ and Ctrl+↓ change the weight of what is selected.

import { Textarea, type TextareaProps } from "@mantine/core";
import { type KeyboardEvent, useId, useLayoutEffect, useRef } from "react";

import type { Hints } from "../api/types";
import { changeAttention } from "./attention";
import { TextCount } from "./TextCount";

interface Props extends Omit<TextareaProps, "onChange" | "value"> {
  value: string;
  onChange: (value: string) => void;
  /** The job that tells how long the text is. */
  counter?: Hints["counter"];
  /** The id of what describes the field. */
  describedBy?: string;
}

export function PromptInput({ value, onChange, counter, describedBy, ...props }: Props) {
  const field = useRef<HTMLTextAreaElement>(null);
  const countId = useId();
  /** What is to be selected once the changed text is there. */
  const selection = useRef<[number, number] | null>(null);
  useLayoutEffect(() => {
    if (selection.current) field.current?.setSelectionRange(...selection.current);
    selection.current = null;
  }, [value]);

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (!(event.ctrlKey || event.metaKey) || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    event.preventDefault();
    const { selectionStart: start, selectionEnd: end } = event.currentTarget;
    const changed = changeAttention({ text: value, start, end }, event.key === "ArrowUp" ? 1 : -1);
    if (changed.text === value) return;
    selection.current = [changed.start, changed.end];
    onChange(changed.text);
  };

  const ids = [describedBy, counter && countId].filter(Boolean).join(" ");
  const input = (
    <Textarea
      autosize
      minRows={2}
      maxRows={12}
      {...props}
      attributes={ids ? { input: { "aria-describedby": ids } } : undefined}
      ref={field}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      onKeyDown={onKeyDown}
    />
  );
  if (!counter) return input;
  return (
    <div>
      {input}
      <TextCount id={countId} counter={counter} text={value} />
    </div>
  );
}
