/* Blocks added where they overlap, fixed point; kernels/audio/mq_audio.h has the formula. Whoever includes this file
 * says by MQ_PART(name) whose parts of mq_windowed.h. Each step reads sums behind the place where it writes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_OVERLAP_S16_H
#define MQ_OVERLAP_S16_H

#include "mq_overlap.h"

static inline void mq_overlapped_s16(const int16_t *x, const int16_t *window, int32_t *sum, int16_t *y, uint32_t length,
                                     uint32_t hop, int32_t m, int32_t shift) {
    const uint32_t kept = length - hop;
    const mq_overlap o = mq_overlap_of(kept, hop);
    MQ_PART(windowed_onto_s16)(x, window, sum, y, o.given, m, shift);
    MQ_PART(windowed_onto_s16)(x + o.given, window + o.given, NULL, y + o.given, hop - o.given, m, shift);
    x += hop;
    window += hop;
    MQ_PART(windowed_onto_s32)(x, window, sum + o.given, sum, o.staying);
    MQ_PART(windowed_onto_s32)(x + o.staying, window + o.staying, NULL, sum + o.staying, kept - o.staying);
}

#endif
