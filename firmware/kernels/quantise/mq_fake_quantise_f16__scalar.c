/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_quantise.h"

#include "mq_float.h"

void mq_fake_quantise_f16(const mq_f16 *x, mq_f16 *y, const mq_fake_quantise_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t c = 0; c < p->channels; c++) {
            const float scale = p->scale[c];
            const int32_t zero = p->zero[c];
            for (uint32_t i = 0; i < p->inner; i++) {
                const int32_t q = mq_round(mq_f16_to_f32(*x++) / scale) + zero;
                *y++ = mq_f32_to_f16((float)((q < p->low ? p->low : q > p->high ? p->high : q) - zero) * scale);
            }
        }
    }
}
