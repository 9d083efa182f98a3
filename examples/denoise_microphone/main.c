/* A microphone, cleaned, to a loudspeaker: the firmware of denoiser.onnx between two interrupts.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "board.h"
#include "denoiser_stream.h"

static denoiser_stream_t stream;

static void heard(const int16_t *samples, uint32_t count) {
    (void)denoiser_audio_push(&stream, samples, count);
}

static void wanted(int16_t *samples, uint32_t count) {
    (void)denoiser_audio_pull(&stream, samples, count);
}

int main(void) {
    static const board_audio_t audio = {heard, wanted};
    char text[96];
    if (denoiser_stream_init(&stream, 0)) {
        board_say("the constants in flash are damaged");
        return 1;
    }
    board_start(&audio, DENOISER_RATE_HZ);
    do {
        while (denoiser_stream_work(&stream)) {
        }
    } while (board_sleep());
    const denoiser_stream_counters_t found = denoiser_stream_counters(&stream);
    (void)snprintf(text, sizeof text, "%u frames, %u samples dropped, %u missed", (unsigned)found.frames,
                   (unsigned)found.dropped, (unsigned)found.missed);
    board_say(text);
    return 0;
}
