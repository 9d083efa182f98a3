/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_mish(float x, const float *parameters) {
    (void)parameters;
    if (x > 20.0f) {
        return x;
    }
    const float e = mq_exp(x);
    const float n = e * (e + 2.0f); /* tanh(ln(1 + e)) = n / (n + 2) */
    return x * (n / (n + 2.0f));
}
