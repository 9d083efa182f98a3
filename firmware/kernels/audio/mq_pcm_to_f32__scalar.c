/* Samples of 16 bits as reals; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"

void mq_pcm_to_f32(const int16_t *x, float *y, uint32_t n, float scale) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = (float)x[i] * scale;
    }
}
