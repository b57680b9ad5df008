// Files that are pasted while no port has the focus: they go into the first port that takes them and is empty.

import { useWindowEvent } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";

import type { ApiError } from "../api/http";
import { upload } from "../api/queries";
import type { Port } from "../api/types";

export function usePastedFiles(
  ports: readonly Port[],
  inputs: Record<string, unknown>,
  onChange: (port: string, value: unknown) => void,
): void {
  useWindowEvent("paste", (event: ClipboardEvent) => {
    const file = event.clipboardData?.files[0];
    if (!file || event.defaultPrevented) return;
    const fitting = ports.filter((port) => takes(port, file));
    const port = fitting.find(({ name }) => inputs[name] === undefined) ?? fitting[0];
    if (!port) return;
    event.preventDefault();
    upload(file)
      .then(({ id }) => onChange(port.name, port.list ? [{ artifact: id }] : { artifact: id }))
      .catch((error: unknown) => {
        const { message, hint } = error as ApiError;
        notifications.show({ color: "red", title: message, message: hint });
      });
  });
}

const takes = ({ type }: Port, file: File): boolean =>
  file.type.startsWith(`${type === "mask" ? "image" : type}/`) || type === "file";
