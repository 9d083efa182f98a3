/* Blocks added where they overlap, fixed point; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_windowed.h"

#define MQ_PART(name) mq_##name
#include "mq_overlap_s16.h"

void mq_overlap_add_s16(const int16_t *x, const int16_t *window, int32_t *sum, int16_t *y, uint32_t length,
                        uint32_t hop, int32_t multiplier, int32_t shift) {
    mq_overlapped_s16(x, window, sum, y, length, hop, multiplier, shift);
}
