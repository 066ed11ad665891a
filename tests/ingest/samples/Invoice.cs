using System;
using System.Collections.Generic;
using System.Linq;

namespace Shop.Billing
{
    /// <summary>How an invoice is paid.</summary>
    public enum Payment { Card, Transfer, Cash }

    public record Line(string Article, int Amount, decimal Price);

    public sealed class Invoice : IDisposable
    {
        private readonly List<Line> lines = new();

        public decimal Tax { get; init; } = 0.19m;

        public Invoice(IEnumerable<Line> bought, decimal tax)
        {
            foreach (var line in bought)
            {
                if (line.Amount <= 0) throw new ArgumentException($"{line.Article} has no amount", nameof(bought));
                lines.Add(line);
            }
            Tax = tax;
        }

        [Obsolete("Use Total")]
        public decimal Sum(bool includeTax)
        {
            var net = lines.Sum(line => line.Amount * line.Price);
            var gross = Math.Round(net * (1 + Tax), 2, MidpointRounding.AwayFromZero);
            Console.WriteLine($"net {net}, gross {gross}, lines {lines.Count}");
            return includeTax ? gross : net;
        }

        public void Dispose() => lines.Clear();
    }

    public interface IInvoiceStore
    {
        Invoice Find(string number);
    }
}
