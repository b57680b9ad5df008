// Choose a former result for a port: the newest that fit it, as small pictures.

import { Button, Center, Group, Loader, Modal, SimpleGrid, Stack, Text, UnstyledButton } from "@mantine/core";
import { useState } from "react";

import { artifactUrl } from "../api/queries";
import type { Port } from "../api/types";
import { resultsOf, useResults } from "../gallery/results";
import { fits } from "./fits";

const SHOWN = 60;

interface Props {
  port: Port;
  onPick: (artifact: string) => void;
  onClose: () => void;
}

export default function GalleryPicker({ port, onPick, onClose }: Props) {
  const { data, isPending, fetchNextPage, hasNextPage, isFetchingNextPage } = useResults(null);
  const [shown, setShown] = useState(SHOWN);
  const fitting = resultsOf(data?.pages.flat() ?? []).filter(({ artifact }) =>
    fits(artifact.type, port.type),
  );
  const more = () => {
    setShown(shown + SHOWN);
    if (shown + SHOWN > fitting.length && hasNextPage) void fetchNextPage();
  };
  return (
    <Modal opened onClose={onClose} title={`A result as ${port.name}`} size="xl">
      {isPending && (
        <Center h={200}>
          <Loader aria-label="Loading" />
        </Center>
      )}
      {!isPending && !fitting.length && (
        <Text c="dimmed" size="sm" ta="center" py="xl">
          Nothing that fits has been made yet.
        </Text>
      )}
      <SimpleGrid cols={{ base: 3, xs: 4, sm: 6 }} spacing="xs">
        {fitting.slice(0, shown).map(({ key, artifact, name, label }) => (
          <UnstyledButton
            key={key}
            className="pick"
            aria-label={name}
            title={name}
            onClick={() => onPick(artifact.id)}
          >
            {artifact.type === "image" || artifact.type === "mask" ? (
              <img src={artifactUrl(artifact.id)} alt="" loading="lazy" />
            ) : (
              <Stack gap={2} p="xs" justify="center" h="100%">
                <Text size="xs" fw={600}>
                  {artifact.type}
                </Text>
                <Text size="xs" c="dimmed" lineClamp={3}>
                  {name}
                </Text>
              </Stack>
            )}
            {label && <span className="picture-label">{label}</span>}
          </UnstyledButton>
        ))}
      </SimpleGrid>
      {(hasNextPage || shown < fitting.length) && (
        <Group justify="center" mt="md">
          <Button variant="default" size="xs" onClick={more} loading={isFetchingNextPage}>
            More
          </Button>
        </Group>
      )}
    </Modal>
  );
}
