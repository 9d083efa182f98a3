/* Words from a microphone: the firmware of kws.onnx says each word once, when it is sure.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "board.h"
#include "kws_stream.h"

static kws_stream_t stream;

static void heard(const int16_t *samples, uint32_t count) {
    (void)kws_audio_push(&stream, samples, count);
}

static void on_frame(void *user, const kws_frame_t *frame) {
    char text[96];
    (void)user;
    if (frame->keyword[0] >= 0) {
        const unsigned ms = (unsigned)((uint64_t)(frame->index + 1) * KWS_HOP * 1000u / KWS_RATE_HZ);
        (void)snprintf(text, sizeof text, "%u.%03u s: %s (%d %%)", ms / 1000u, ms % 1000u, kws_label(frame->keyword[0]),
                       (int)(100.0f * frame->score[0]));
        board_say(text);
    }
}

int main(void) {
    static const board_audio_t audio = {heard, 0};
    static const kws_stream_config_t config = {on_frame, 0, 0, 0};
    if (kws_stream_init(&stream, &config)) {
        board_say("the constants in flash are damaged");
        return 1;
    }
    board_start(&audio, KWS_RATE_HZ);
    do {
        while (kws_stream_work(&stream)) {
        }
    } while (board_sleep());
    return 0;
}
