/* Blocks added where they overlap, fixed point; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"
#include "mq_fixed.h"

void mq_overlap_add_s16(const int16_t *x, const int16_t *window, int32_t *sum, int16_t *y, uint32_t length,
                        uint32_t hop, int32_t multiplier, int32_t shift) {
    const uint32_t kept = length - hop;
    for (uint32_t n = 0; n < hop; n++) {
        const int32_t added = (n < kept ? sum[n] : 0) + window[n] * x[n];
        y[n] = mq_sat_s16(mq_requantise(added, multiplier, shift));
    }
    for (uint32_t n = hop; n < length; n++) { /* sums are written behind what is still to be read */
        sum[n - hop] = (n < kept ? sum[n] : 0) + window[n] * x[n];
    }
}
