/* Blocks added where they overlap, f32; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_windowed.h"

#define MQ_PART(name) mq_##name
#include "mq_overlap_f32.h"

void mq_overlap_add_f32(const float *x, const float *window, float *sum, float *y, uint32_t length, uint32_t hop) {
    mq_overlapped_f32(x, window, sum, y, length, hop);
}
