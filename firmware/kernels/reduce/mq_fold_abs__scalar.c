/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_reduce.h"

#include "mq_float.h"

float mq_fold_abs(float acc, float x) {
    return acc + mq_abs(x);
}
