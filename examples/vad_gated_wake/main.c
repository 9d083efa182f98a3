/* A word wakes the device, and the model that knows words runs only while somebody speaks: vad.onnx is small and always
 * on, kws.onnx is large and mostly asleep. What was said just before the detector was sure is kept, so that the
 * beginning of the word is not lost. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "board.h"
#include "kws_stream.h"
#include "vad_stream.h"

/* Samples that are kept while nobody speaks: a second, which is what keyword spotters look at. */
#define BEFORE VAD_RATE_HZ
/* Samples that are listened to after the last word: its smoothed probability is highest when it is over. */
#define AFTER VAD_RATE_HZ

static vad_stream_t vad;
static kws_stream_t kws;
static int16_t before[BEFORE];
static uint32_t newest; /* where the next one goes */
static int awake;
static uint32_t since_speech; /* samples */
static uint32_t frames_awake;

static void heard(const int16_t *samples, uint32_t count) {
    (void)vad_audio_push(&vad, samples, count);
}

static void on_word(void *user, const kws_frame_t *frame) {
    char text[64];
    (void)user;
    frames_awake++;
    if (frame->keyword[0] >= 0) {
        (void)snprintf(text, sizeof text, "woken by \"%s\"", kws_label(frame->keyword[0]));
        board_say(text);
    }
}

static void listen(const int16_t *samples, uint32_t count) {
    while (count) {
        const uint32_t some = count < KWS_STREAM_BLOCK ? count : KWS_STREAM_BLOCK;
        (void)kws_audio_push(&kws, samples, some);
        while (kws_stream_work(&kws)) {
        }
        samples += some;
        count -= some;
    }
}

/* Each frame of the detector, with the samples that it heard. */
static void on_activity(void *user, const vad_frame_t *frame) {
    static const kws_stream_config_t config = {on_word, 0, 0, 0};
    (void)user;
    since_speech = frame->active[0] ? 0 : since_speech + VAD_HOP;
    if (frame->active[0] && !awake) {
        awake = 1;
        (void)kws_stream_init(&kws, &config); /* a new utterance: nothing of the last one */
        listen(before + newest, BEFORE - newest);
        listen(before, newest);
    }
    awake = awake && since_speech < AFTER;
    if (awake) {
        listen(frame->audio_in, VAD_HOP);
    }
    for (uint32_t i = 0; i < VAD_HOP; i++) {
        before[newest] = frame->audio_in[i];
        newest = (newest + 1u) % BEFORE;
    }
}

int main(void) {
    static const board_audio_t audio = {heard, 0};
    static const vad_stream_config_t config = {on_activity, 0, 0, 0};
    char text[64];
    if (vad_stream_init(&vad, &config)) {
        board_say("the constants in flash are damaged");
        return 1;
    }
    board_start(&audio, VAD_RATE_HZ);
    do {
        while (vad_stream_work(&vad)) {
        }
    } while (board_sleep());
    (void)snprintf(text, sizeof text, "%u frames of the detector, %u of words",
                   (unsigned)vad_stream_counters(&vad).frames, (unsigned)frames_awake);
    board_say(text);
    return 0;
}
