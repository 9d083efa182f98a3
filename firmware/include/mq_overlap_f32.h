/* Blocks added where they overlap, f32; kernels/audio/mq_audio.h has the formula. Whoever includes this file says by
 * MQ_PART(name) whose parts of mq_windowed.h. Each step reads sums behind the place where it writes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_OVERLAP_F32_H
#define MQ_OVERLAP_F32_H

#include "mq_overlap.h"

static inline void mq_overlapped_f32(const float *x, const float *window, float *sum, float *y, uint32_t length,
                                     uint32_t hop) {
    const uint32_t kept = length - hop;
    const mq_overlap o = mq_overlap_of(kept, hop);
    MQ_PART(windowed_onto_f32)(x, window, sum, y, o.given);
    MQ_PART(windowed_f32)(x + o.given, window + o.given, y + o.given, hop - o.given);
    x += hop;
    window += hop;
    MQ_PART(windowed_onto_f32)(x, window, sum + o.given, sum, o.staying);
    MQ_PART(windowed_f32)(x + o.staying, window + o.staying, sum + o.staying, kept - o.staying);
}

#endif
