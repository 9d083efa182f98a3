/* Blocks added where they overlap, f32; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"

void mq_overlap_add_f32(const float *x, const float *window, float *sum, float *y, uint32_t length, uint32_t hop) {
    const uint32_t kept = length - hop;
    for (uint32_t n = 0; n < hop; n++) {
        y[n] = (n < kept ? sum[n] : 0.0f) + window[n] * x[n];
    }
    for (uint32_t n = hop; n < length; n++) { /* sums are written behind what is still to be read */
        sum[n - hop] = (n < kept ? sum[n] : 0.0f) + window[n] * x[n];
    }
}
