// The graph as a command and as a program, to be copied.

import { Box, Button, CopyButton, Group, Modal, Stack, Text } from "@mantine/core";

import type { GraphDocument } from "./document";
import { snippets } from "./snippets";

const TITLES = { curl: "curl", python: "Python" };

export function Program({ document, onClose }: { document: GraphDocument; onClose: () => void }) {
  const { curl, python } = snippets(document, window.location.origin);
  return (
    <Modal opened onClose={onClose} title="As a program" size="lg">
      <Stack>
        {Object.entries({ curl, python }).map(([name, text]) => (
          <Box key={name}>
            <Group justify="space-between" mb={4}>
              <Text size="sm" fw={600}>
                {TITLES[name as keyof typeof TITLES]}
              </Text>
              <CopyButton value={text}>
                {({ copied, copy }) => (
                  <Button
                    size="compact-xs"
                    variant="subtle"
                    onClick={copy}
                    aria-label={`Copy ${TITLES[name as keyof typeof TITLES]}`}
                  >
                    {copied ? "Copied" : "Copy"}
                  </Button>
                )}
              </CopyButton>
            </Group>
            <Text
              component="pre"
              className="program"
              size="xs"
              ff="monospace"
              m={0}
              p="sm"
              mah={220}
              style={{ overflow: "auto" }}
              tabIndex={0}
              aria-label={`${name} program`}
            >
              {text}
            </Text>
          </Box>
        ))}
      </Stack>
    </Modal>
  );
}
