/* Reals as samples of 16 bits; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"
#include "mq_fixed.h"
#include "mq_float.h"

void mq_pcm_from_f32(const float *x, int16_t *y, uint32_t n, float inverse_scale) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_sat_s16(mq_round(x[i] * inverse_scale));
    }
}
