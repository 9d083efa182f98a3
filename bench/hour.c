/* An hour through the real-time skeleton of a generated folder, in blocks of random sizes, beside the same model called
 * frame by frame: every output of every frame, and every sample that comes out, to the bit.
 *
 *     hour SAMPLES.raw SECONDS SEED STALL      (16-bit samples, played round and round)
 *
 * Once in STALL blocks a frame is slow: work is not done while blocks come and go, as long as there is room for them. What
 * goes out as silence then is counted as missed, and everything after it comes as late as before.
 *
 * `model_` and `MODEL_` stand for the folder's prefix, OUTPUTS(X) is X(name) for every output of the model.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_stream.h"

#define ARGUMENT(name) , own.name
#define SAME(name) (memcmp(frame->name, own.name, sizeof own.name) == 0)
#define AND_SAME(name) &&SAME(name)
#define BEHIND 65536u /* samples that are kept to compare with; more than a stream can be behind */

static model_stream_t stream;
static model_t plain;
static int16_t *recording;
static uint64_t recorded, wrong_frames, frames;
#ifdef MODEL_AUDIO_OUT_SIZE
static int16_t expected[BEHIND];
#define MISSED(c) (c).missed
#else
#define MISSED(c) 0u
#endif

static int16_t sample(uint64_t at) { return recording[at % recorded]; }

static uint32_t drawn(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* What came of a frame, beside what comes of the same samples without a stream around the model. */
static void compare(void *user, const model_frame_t *frame) {
    static model_frame_t own;
    (void)user;
    for (uint32_t i = 0; i < MODEL_HOP; i++) {
        own.audio_in[i] = sample(frames * MODEL_HOP + i);
    }
    model_run(&plain, own.audio_in OUTPUTS(ARGUMENT));
    const int same = frame->index == (uint32_t)frames && SAME(audio_in) OUTPUTS(AND_SAME);
    wrong_frames += !same;
#ifdef MODEL_AUDIO_OUT_SIZE
    for (uint32_t i = 0; i < MODEL_HOP; i++) {
        expected[(frames * MODEL_HOP + i) % BEHIND] = own.audio_out[i];
    }
#endif
    frames++;
}

static int16_t *read_all(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        exit(2);
    }
    (void)fseek(file, 0, SEEK_END);
    recorded = (uint64_t)ftell(file) / sizeof(int16_t);
    rewind(file);
    int16_t *samples = malloc(recorded * sizeof(int16_t));
    if (!samples || fread(samples, sizeof(int16_t), recorded, file) != recorded) {
        exit(2);
    }
    fclose(file);
    return samples;
}

static void work(void) {
    while (model_stream_work(&stream)) {
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        return 2;
    }
    const uint64_t seconds = strtoull(argv[2], 0, 10), total = seconds * MODEL_RATE_HZ;
    uint32_t seed = (uint32_t)strtoul(argv[3], 0, 10);
    const uint64_t stall = strtoull(argv[4], 0, 10);
    int16_t block[MODEL_STREAM_BLOCK];
    uint64_t pushed = 0, refused = 0, blocks = 0, stalls = 0, silent = 0, wrong_samples = 0;
    int slow = 0;
    const model_stream_config_t config = {compare, 0, 0, 0};
    recording = read_all(argv[1]);
    (void)model_stream_init(&stream, &config);
    model_reset(&plain);
    while (pushed < total) {
        const uint32_t room = MODEL_STREAM_ROOM - mq_ring_count(&stream.in);
        const int again = slow ? drawn(&seed) % 4 != 0 : drawn(&seed) % stall == 0;
        stalls += again && room && !slow;
        slow = again && room;
        if (!slow) {
            work();
        }
        const uint32_t most = slow && room < MODEL_STREAM_BLOCK ? room : MODEL_STREAM_BLOCK;
        const uint32_t count = 1 + drawn(&seed) % most;
        const int late = drawn(&seed) % 2; /* whether work comes before the samples are wanted, or after */
        for (uint32_t i = 0; i < count; i++) {
            block[i] = sample(pushed + i);
        }
        refused += count - model_audio_push(&stream, block, count);
        for (int turn = 0; turn < 2; turn++) {
            if (turn == late && !slow) {
                work();
            }
#ifdef MODEL_AUDIO_OUT_SIZE
            if (turn != late) {
                const uint32_t there = model_audio_pull(&stream, block, count);
                silent += count - there;
                for (uint32_t i = 0; i < there; i++) {
                    const uint64_t at = pushed + i;
                    wrong_samples +=
                        block[i] != (at < MODEL_STREAM_PREFILL ? 0 : expected[(at - MODEL_STREAM_PREFILL) % BEHIND]);
                }
            }
#endif
        }
        pushed += count;
        blocks++;
    }
    const model_stream_counters_t c = model_stream_counters(&stream);
    printf("{\"samples\": %llu, \"blocks\": %llu, \"frames\": %llu, \"slow_frames\": %llu, ", (unsigned long long)pushed,
           (unsigned long long)blocks, (unsigned long long)frames, (unsigned long long)stalls);
    printf("\"frames_that_differ\": %llu, \"samples_that_differ\": %llu, \"refused\": %llu, \"dropped\": %u",
           (unsigned long long)wrong_frames, (unsigned long long)wrong_samples, (unsigned long long)refused,
           (unsigned)c.dropped);
#ifdef MODEL_AUDIO_OUT_SIZE
    printf(", \"missed\": %u, \"skipped\": %u, \"unplayed\": %u", (unsigned)c.missed, (unsigned)c.skipped,
           (unsigned)c.unplayed);
#endif
    printf("}\n");
    return wrong_frames || wrong_samples || refused != c.dropped || MISSED(c) != silent;
}
