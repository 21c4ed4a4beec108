// Writes one float too far, for the test of the sanitizer.
extern "C" void overrun(int n) {
    volatile float held[2] = {0, 0};
    for (volatile int i = 0; i <= n; i++) held[i] = 1;
}
