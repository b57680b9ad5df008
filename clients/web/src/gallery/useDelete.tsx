// Deleting results: asked for first, then gone from the server with their files.

import { Button, Group, Modal, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { type ReactNode, useState } from "react";

import { deleteArtifact } from "../api/queries";
import { tell } from "../ui/told";
import type { Result } from "./results";

/** Return what asks before results are deleted, and the window it asks in. */
export function useDelete(onDeleted: () => void): {
  ask: (results: readonly Result[]) => void;
  window: ReactNode;
} {
  const [asked, setAsked] = useState<readonly Result[]>([]);
  const [isBusy, setBusy] = useState(false);
  const [isOpen, { open, close }] = useDisclosure();
  const remove = async () => {
    setBusy(true);
    try {
      for (const id of new Set(asked.map(({ artifact }) => artifact.id))) await deleteArtifact(id);
      onDeleted();
    } catch (error) {
      tell(error);
    } finally {
      setBusy(false);
      close();
    }
  };
  const window = (
    <Modal
      opened={isOpen}
      onClose={close}
      title={asked.length === 1 ? "Delete this result?" : `Delete ${asked.length} results?`}
      centered
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Text size="sm">
        {asked.length === 1 ? "The file it was saved as goes too." : "The files they were saved as go too."}{" "}
        This cannot be undone.
      </Text>
      <Group justify="end" mt="lg">
        <Button variant="default" onClick={close}>
          Keep
        </Button>
        <Button color="red.9" loading={isBusy} onClick={() => void remove()} data-autofocus>
          Delete
        </Button>
      </Group>
    </Modal>
  );
  const ask = (results: readonly Result[]) => {
    setAsked(results);
    open();
  };
  return { ask, window };
}
