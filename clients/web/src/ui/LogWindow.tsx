// A log in a window of its own, with its end in sight.

import { Button, Center, Code, Group, Loader, Modal, ScrollArea } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

import { Empty } from "./Empty";
import { Problem } from "./Problem";

interface Props {
  title: string;
  /** What tells this log from others. */
  name: string;
  read: () => Promise<string>;
  onClose: () => void;
}

export function LogWindow({ title, name, read, onClose }: Props) {
  const { data, error, refetch, isFetching } = useQuery({
    queryKey: ["log", name],
    queryFn: read,
    staleTime: 0,
  });
  return (
    <Modal opened onClose={onClose} title={title} size="xl" closeButtonProps={{ "aria-label": "Close" }}>
      {error && <Problem error={error} />}
      {data === undefined && !error && (
        <Center p="xl">
          <Loader aria-label="Loading" />
        </Center>
      )}
      {data !== undefined && <LogText text={data} />}
      <Group justify="end" mt="sm">
        <Button size="xs" variant="default" loading={isFetching} onClick={() => void refetch()}>
          Read again
        </Button>
      </Group>
    </Modal>
  );
}

export function LogText({ text, height = 420 }: { text: string; height?: number }) {
  const view = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (view.current) view.current.scrollTop = view.current.scrollHeight;
  }, [text]);
  if (!text) return <Empty title="Nothing was printed" />;
  return (
    <ScrollArea.Autosize mah={height} viewportRef={view} viewportProps={{ tabIndex: 0, "aria-label": "Log" }}>
      <Code block style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
        {text}
      </Code>
    </ScrollArea.Autosize>
  );
}
