/* What the examples ask of a board: a microphone, perhaps a loudspeaker, and a place for a line of text.
 *
 * host.c is such a board for a PC: raw samples on standard input, raw samples on standard output, text on standard
 * error. For a real one, write these three functions with your vendor's drivers. SPDX-License-Identifier: Apache-2.0 */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Called from interrupts: `heard` with samples of the microphone, `wanted` (may be 0) for samples of the loudspeaker.
 */
typedef struct {
    void (*heard)(const int16_t *samples, uint32_t count);
    void (*wanted)(int16_t *samples, uint32_t count);
} board_audio_t;

/* Starts microphone and loudspeaker, 16 bits, one channel. */
void board_start(const board_audio_t *audio, uint32_t rate_hz);

/* Sleeps until the next interrupt is over. Returns 0 when nothing more will come, which happens on hosts only. */
int board_sleep(void);

/* Tells the user. */
void board_say(const char *text);

#endif
