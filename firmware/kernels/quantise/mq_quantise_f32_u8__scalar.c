/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_quantise.h"

#include "mq_float.h"

void mq_quantise_f32_u8(const float *x, uint8_t *y, const mq_quantise_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t c = 0; c < p->channels; c++) {
            const float scale = p->scale[c];
            const int32_t zero = p->zero[c];
            for (uint32_t i = 0; i < p->inner; i++) {
                const int32_t q = mq_round(*x++ / scale) + zero;
                *y++ = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
            }
        }
    }
}
