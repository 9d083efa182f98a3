/* What stands at the two ends of an audio pipeline: samples of 16 bits, blocks that overlap, and decisions.
 *
 *   pcm to reals    y = x scale
 *   reals to pcm    y = sat(round(x inverse_scale))                                       round half to even; NaN gives
 * -32768 masked          y[k] = x[k] mask[k], for complex x and real or complex masks overlap add     y[n] = sum[n] +
 * window[n] x[n]                                        n < hop sum'[n - hop] = sum[n] + window[n] x[n] hop <= n <
 * length with sum[n] = 0 from length - hop on
 *
 *                   s16: sum in s32 without rounding, y = sat(requantise(sum, multiplier, shift)). |window| <= 2^15 / o
 *                   where o blocks overlap, so that sums fit.
 *
 *   activity        level' = level + smoothing (x - level); active where level' >= threshold, and while it is, until
 *                   level' < release: in `attack` calls one after the other to begin, in `hold` calls to end.
 *                   run[0] is 1 while active, run[1] counts the calls that spoke against it.
 *
 *   keyword         mean[c] = 1/calls sum of the last `calls` x[c]; of the classes with wanted[c] the one with the
 * largest mean is reported if that reaches threshold, and then nothing for `refractory` calls. else -1. place[0] is
 * where in `last` (a ring of `calls` rows) the next x goes, place[1] the calls still to be silent.
 *
 * y may be x where both have the same size; nothing else overlaps.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_AUDIO_H
#define MQ_AUDIO_H

#include "mq_base.h"

typedef struct {
    float smoothing;
    float threshold;
    float release;
    uint32_t attack;
    uint32_t hold;
} mq_activity_params;

typedef struct {
    uint32_t classes;
    uint32_t calls;
    uint32_t refractory;
    float threshold;
    const uint8_t *wanted;
} mq_keyword_params;

void mq_pcm_to_f32(const int16_t *x, float *y, uint32_t n, float scale);
void mq_pcm_from_f32(const float *x, int16_t *y, uint32_t n, float inverse_scale);

void mq_masked_f32(const float *x, const float *mask, float *y, uint32_t n, uint32_t complex_mask);

void mq_overlap_add_f32(const float *x, const float *window, float *sum, float *y, uint32_t length, uint32_t hop);

void mq_overlap_add_s16(const int16_t *x, const int16_t *window, int32_t *sum, int16_t *y, uint32_t length,
                        uint32_t hop, int32_t multiplier, int32_t shift);

void mq_activity(const float *x, float *level, int32_t *run, float *probability, uint8_t *active,
                 const mq_activity_params *p);
void mq_keyword(const float *x, float *last, int32_t *place, int32_t *keyword, float *score,
                const mq_keyword_params *p);

#endif
