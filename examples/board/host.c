/* A PC as a board: each sleep is one interrupt, which brings the next samples of standard input in blocks of uneven
 * sizes, as they come from USB or a network, and takes as many for standard output. SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "board.h"

#define LARGEST 160u

static board_audio_t callbacks;

void board_start(const board_audio_t *audio, uint32_t rate_hz) {
    callbacks = *audio;
    (void)rate_hz;
}

int board_sleep(void) {
    static uint32_t turn;
    int16_t block[LARGEST];
    const uint32_t count = LARGEST - turn++ % 32u;
    const uint32_t got = (uint32_t)fread(block, sizeof *block, count, stdin);
    callbacks.heard(block, got);
    if (callbacks.wanted && got) {
        callbacks.wanted(block, got);
        (void)fwrite(block, sizeof *block, got, stdout);
    }
    return got > 0;
}

void board_say(const char *text) {
    (void)fprintf(stderr, "%s\n", text);
}
