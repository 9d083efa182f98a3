/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_softsign(float x, const float *parameters) {
    (void)parameters;
    return x / (1.0f + mq_abs(x));
}
