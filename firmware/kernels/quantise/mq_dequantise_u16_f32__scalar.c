/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_quantise.h"

void mq_dequantise_u16_f32(const uint16_t *x, float *y, const mq_quantise_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t c = 0; c < p->channels; c++) {
            const float scale = p->scale[c];
            const int32_t zero = p->zero[c];
            for (uint32_t i = 0; i < p->inner; i++) {
                *y++ = (float)(*x++ - zero) * scale;
            }
        }
    }
}
