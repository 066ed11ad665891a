<?php

namespace Shop\Http;

use Closure;

const DEFAULT_STATUS = 200;

interface Handler
{
    public function handle(array $request): string;
}

/** Finds the handler of a path. */
final class Router implements Handler
{
    private array $routes = [];

    #[Pure]
    public function add(string $method, string $pattern, Closure $handler): static
    {
        $expression = preg_replace('/\{(\w+)\}/', '(?<$1>[^/]+)', $pattern);
        if (isset($this->routes[$method][$expression])) {
            throw new \LogicException("$method $pattern has a handler");
        }
        $this->routes[$method]["#^{$expression}$#"] = $handler;
        return $this;
    }

    public function handle(array $request): string
    {
        foreach ($this->routes[$request['method']] ?? [] as $expression => $handler) {
            if (preg_match($expression, $request['path'], $found)) {
                http_response_code(DEFAULT_STATUS);
                return $handler(array_filter($found, 'is_string', ARRAY_FILTER_USE_KEY));
            }
        }
        http_response_code(404);
        return 'not found';
    }
}

function dispatch(Router $router): void
{
    $path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
    $answer = $router->handle(['method' => $_SERVER['REQUEST_METHOD'], 'path' => $path]);
    header('Content-Length: ' . strlen($answer));
    header('Content-Type: text/html; charset=utf-8');
    echo $answer;
}
