// A file that is dropped on a page opens the job that made it, with its inputs and knobs. Ports take their files before.

import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import type { DragEvent } from "react";
import { useLocation } from "wouter";

import { SIGNATURES } from "../api/queries";
import { tell } from "../ui/told";
import { writeDraft } from "./drafts";
import { restored } from "./restoring";

export function useRestore(onRestored: () => void = () => undefined) {
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const restore = async (file: File) => {
    const made = await restored(file, await queries.query({ ...SIGNATURES, staleTime: "static" }));
    if (!made) {
      notifications.show({ color: "orange", message: "This file does not say which job made it." });
      return;
    }
    writeDraft(made.job, { inputs: made.inputs, params: made.params });
    onRestored();
    navigate(`/jobs/${made.job}`);
    notifications.show({
      color: made.notes.length ? "yellow" : "green",
      title: `The knobs of ${made.job} are as they were for this file.`,
      message: made.notes.join(". "),
      autoClose: made.notes.length ? 15_000 : 4000,
    });
  };
  return {
    onDragOver: (event: DragEvent) => event.preventDefault(),
    onDrop: (event: DragEvent) => {
      event.preventDefault();
      const file = event.dataTransfer.files[0];
      if (file) restore(file).catch(tell);
    },
  };
}
